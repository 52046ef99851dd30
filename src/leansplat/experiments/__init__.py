"""Experiments: the paper's tables and figures as data, the jobs that answer them, and the sweep that runs the jobs.

`plan` says what to run, `sweep` runs it, `results` gathers what came out of it; `leansplat.report` shows it.
"""
