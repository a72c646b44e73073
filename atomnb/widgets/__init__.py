"""Widgets and dashboards: state without widgets, panels without science."""
