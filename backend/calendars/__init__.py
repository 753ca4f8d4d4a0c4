"""Working calendars: which days and hours count as working time, with holidays and make-up workdays as data."""
