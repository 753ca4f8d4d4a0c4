"""Alembic's entry: the house's tables.

On the connection of `backend.core.migrate` or on the database in the settings.
"""

from alembic import context
from alembic.config import Config

from backend.core.migrate import in_transaction
from backend.settings import read_settings
from backend.tables import metadata


def migrate(config: Config) -> None:
    """Run the migrations on the connection the configuration carries."""
    context.configure(connection=config.attributes["connection"], target_metadata=metadata, compare_type=True)
    context.run_migrations()


def from_the_command_line(config: Config) -> None:
    """Take the connection made for this database and migrate on it."""
    context.config.attributes["connection"] = config.attributes["connection"]
    migrate(context.config)


if "connection" in context.config.attributes:
    migrate(context.config)
else:
    in_transaction(read_settings().database_url, from_the_command_line)
