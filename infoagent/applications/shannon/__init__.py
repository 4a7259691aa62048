"""A source with known limits: does training come near what can be reached?"""
