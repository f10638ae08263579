"""Examples in: block directories, photo folders, drawn scenes, augmentation."""
