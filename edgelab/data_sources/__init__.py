"""Where pictures come from: drawn shapes, drawn scenes, folders and archives of the user."""
