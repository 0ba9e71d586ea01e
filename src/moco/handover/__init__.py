"""From an encoder to the file that another library opens.

A format is a file here with two functions: `obstacle`, what the target cannot express of an encoder, and `write`, which
gives an `Exported`: what was written and how the target, or a plain reading of its format, opens it again. Libraries
are imported inside functions. `table.FORMATS` lists the formats, `check.compare` measures what came back.
"""
