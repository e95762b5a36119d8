"""What an audit attacks on this floor: images that nothing protects."""
