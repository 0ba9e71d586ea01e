"""Using features: a file of them, nearest neighbours, duplicates, outliers, clusters, and contact sheets."""
