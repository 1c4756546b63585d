"""For every suite: Hypothesis without wall-clock limits, since the machines that run the tests are shared and noisy."""

from hypothesis import HealthCheck, settings

settings.register_profile("gatectl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatectl")
