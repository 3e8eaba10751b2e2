"""discover → expand → enqueue → deliver → account → report: one step per file.

Ask of every line here: if the process stopped right now, would somebody be written to twice, or
never?
"""
