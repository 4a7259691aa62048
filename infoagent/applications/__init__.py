"""Applications: a folder for each question, with its recipe, run, summary, estimate, drawing and prompts."""
