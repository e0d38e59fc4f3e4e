//! The agent beside what others wrote, and beside other versions of itself.

mod clients;
mod contract;
mod peers;
