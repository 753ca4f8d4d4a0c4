"""Service contracts, warranty, prices, and the commitment clocks that run on a working calendar."""
