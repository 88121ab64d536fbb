"""Writes files atomically, locks them while they are written, and keeps manifests beside outputs."""
