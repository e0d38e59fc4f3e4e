//! Known bugs of the core, as patches in this folder. The test applies each to a copy of the core, and has simulation and model
//! look at that.
