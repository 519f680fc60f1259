"""Questions to a finished run: could what it stored have leaked, and was it scored as the protocol says?"""
