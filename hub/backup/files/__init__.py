"""What a volume holds: kept, put back beside what is there, compared by checksums."""
