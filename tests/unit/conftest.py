"""Examples are chosen the same way each time, and not kept."""

import hypothesis

hypothesis.settings.register_profile('unit', derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile('unit')
