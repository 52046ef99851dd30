"""The paper's tables, figures and ablations as data, as jobs, and as a report of what the jobs have shown.

`plan` says what to run, `sweep` runs it, `gathering` collects what came out of it, and `sections` shows it beside what
the paper printed. All of it stands on the names that any user has; nothing but its command knows of it.
"""
