//! The kinds we model, one module each: the spec as the user writes it, with Gateway API's defaults.
