"""The phases of the pipeline: each reads the files of the one before and writes its own.

The rules call them through the command line; nothing below this room knows of them.
"""
