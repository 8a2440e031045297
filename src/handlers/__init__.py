"""One file, one Lambda function, one operation."""

import gc

# A cold start makes up to 100,000 objects that stay; looking for garbage every 2,000 of them takes a tenth of its time.
gc.set_threshold(200_000)
