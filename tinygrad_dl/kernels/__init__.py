"""Fast code: arrays in, arrays out. Each kernel stands beside a plain forward in ops/ that a test holds it against."""
