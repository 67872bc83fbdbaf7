"""The embedded data: rendered vehicles and pedestrians with exact part boxes and joints.

Nothing here needs a GPU, a download or an asset. Every image is a pure function of
(seed, identity, camera, index), so any worker may draw any image in any order.
"""
