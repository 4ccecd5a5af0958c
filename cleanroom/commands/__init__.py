"""The commands that stand in groups, a file each; `cli` puts them together, and nothing else imports them.

Parse, call, render, exit code; nothing else. Heavy imports wait inside the commands.
"""
