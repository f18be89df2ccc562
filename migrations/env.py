"""Alembic's entry: runs the migrations on the connection that the program hands over."""

from alembic import context

from accounting.tables import is_of, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    include_object=lambda item, *_: is_of(connection.dialect.name, item),
)
context.run_migrations()
