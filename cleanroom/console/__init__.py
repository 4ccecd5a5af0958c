"""The console: a node's own web page for marketers, merchants, approvers and auditors, in Chinese and English.

It is a process of its own beside the node. It shows what the home holds and hands work to the node; it decides nothing:
who may do what is `access`, what may leave is the release. No script but htmx, nothing from outside, no figure without
its interval or the word withheld, and no value of the data in an address or a log.
"""
