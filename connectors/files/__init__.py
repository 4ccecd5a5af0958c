"""Tables in files: text, spreadsheets, Parquet, Arrow. None is written here, and none is trusted."""
