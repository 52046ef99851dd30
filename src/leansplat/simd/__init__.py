"""Explicit vectors, compilation, threads and working memory for the CPU kernels."""
