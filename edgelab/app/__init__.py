"""A complete edge application: a source, a model, a live view in the browser, zones, alarms, a history."""
