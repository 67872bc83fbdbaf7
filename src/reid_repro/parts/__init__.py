"""Stage A: the vehicle parts that PGAN attends to, found by an SSD detector (PGAN, section 3.2)."""
