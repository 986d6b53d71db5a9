"""The simulated beamline behind real Channel Access, with the extra ``epics``.

A process of its own holds the experiment and serves it as process variables, as an IOC
does: ``ioc_process`` starts it, ``ioc`` is what runs there. Stock ophyd EPICS classes
stand in front of it: ``devices``, and ``beamline`` has them all.
"""
