"""The report: what a sweep has found, beside what the paper printed, for people to read.

`sections` turns results into a document of texts, tables and pictures; `markdown` and `html` write the same document.
"""
