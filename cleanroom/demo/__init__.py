"""Sample data: real purchases of nobody in particular, with everything else about people made up and seeded."""
