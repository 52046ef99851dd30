"""An engine that is several processes: each holds the scene and renders its share of the views, process 0 decides.

leader    `SharedEngine` and `SharedModel`, an engine like any other for all that work in process 0
follower  what the other processes do when they are told
sharing   what both do alike: their share of a step, and of scoring
scenes    the same of scenes that no model holds: those that a file is fine-tuned by, and sensitivities
telling   which views each process looks at, and what it may forget
capture   photos, each loaded by the process that uses it
together  from coming together to the end, which may be that one is lost
"""
