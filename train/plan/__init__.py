"""Plans that are made before a fit: options, networks, targets, motion analysis, pilots, estimates."""
