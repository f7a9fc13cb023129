"""Judging forecasters: figures on a hold-out, gate, shadow, back-test."""
