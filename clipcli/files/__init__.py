"""Writes files atomically, locks files, and keeps manifests beside outputs."""
