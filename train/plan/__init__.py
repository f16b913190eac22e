"""Plans made before a fit: options, networks, targets, motion analysis, pilots, estimates."""
