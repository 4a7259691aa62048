"""The paper's figures as named experiments, its claims, and how they are drawn."""
