"""Curves of the training of a generator."""

import os


_PANELS = (
    ('loss', (('generator/loss', 'generator'),
              ('discriminator/loss', 'discriminator'))),
    ("discriminator's probability of real", (
        ('discriminator/real', 'real images'),
        ('discriminator/generated', 'generated images'))),
    ('Frechet distance', (
        ('fid', 'Inception'),
        ('frechet_classifier_distance', 'classifier'))),
    ('kernel distance', (('kid', 'kernel distance'),)),
    ('density and coverage', (('density', 'density'),
                              ('coverage', 'coverage'))),
)
