"""Alembic's entry: the house's tables.

On the connection of `backend.core.migrate` or on the database in the settings.
"""

from alembic import context
from alembic.config import Config
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from backend.core.changes import stamp, unstamped
from backend.core.migrate import in_transaction
from backend.settings import read_settings
from backend.tables import metadata


def migrate(config: Config) -> None:
    """Run the migrations on the connection the configuration carries, and stamp the synced rows they touched."""
    connection = config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    context.run_migrations()
    if inspect(connection).has_table(unstamped.name):
        with Session(connection) as session:
            stamp(session)


def from_the_command_line(config: Config) -> None:
    """Take the connection made for this database and migrate on it."""
    context.config.attributes["connection"] = config.attributes["connection"]
    migrate(context.config)


if "connection" in context.config.attributes:
    migrate(context.config)
else:
    in_transaction(read_settings().database_url, from_the_command_line)
