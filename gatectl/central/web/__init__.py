"""The console: routes, guard, views, templates."""
