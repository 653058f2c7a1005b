"""Do synthetic ECGs help a classifier of real ones, and how much beyond what augmentation does without them?"""
