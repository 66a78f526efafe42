"""Ticks: what a partition of `schedule.jobs` says (`books`), and the duty of its owner (`duty`, `entry`, `deed`).

Which times a job has, and which of them are due, is `scheduler.jobs`; here is what becomes of them in Kafka.
"""
