"""The metrics by theme. `cleanroom.insight.registry` gathers them; nothing else imports these modules."""
