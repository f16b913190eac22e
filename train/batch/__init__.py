"""Encodes many sources: a manifest in, a folder of files and a table out, by worker processes on this machine or by Ray.

Words of a batch: an *item* is a source with its options, which its *key* identifies. A *manifest* lists items, one in each *row*. A *task*
is what a worker gets: one item, or several whose fits run side by side. A *record* is what the batch keeps of a finished or failed item.
"""
