//! Words that are written under a lock and may be looked at without: atomic, relaxed, so plain loads and stores.
//!
//! They make an entity `Sync` by what it consists of. A lock that is not held makes a queue wrong, as it would in any
//! language; it does not make the program undefined.

use super::entity::Entity;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

macro_rules! cell {
    ($name:ident, $atomic:ident, $value:ident) => {
        #[derive(Debug)]
        pub struct $name($atomic);

        impl $name {
            pub const fn new(value: $value) -> Self {
                Self($atomic::new(value))
            }

            #[inline]
            pub fn get(&self) -> $value {
                self.0.load(Ordering::Relaxed)
            }

            #[inline]
            pub fn set(&self, value: $value) {
                self.0.store(value, Ordering::Relaxed);
            }

            /// Not one step: of two that add at once, one may be lost.
            #[inline]
            pub fn add(&self, more: $value) {
                self.set(self.get().wrapping_add(more));
            }
        }
    };
}

cell!(Byte, AtomicU8, u8);
cell!(Half, AtomicU32, u32);
cell!(Word, AtomicU64, u64);

/// An entity, or none. Release and acquire, so that who follows the link sees an entity that is complete.
#[derive(Debug)]
pub struct Link(AtomicPtr<Entity>);

impl Link {
    pub const fn nobody() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    #[inline]
    pub fn get(&self) -> Option<&'static Entity> {
        let entity = self.0.load(Ordering::Acquire);
        // SAFETY: it is null or was made of a `&'static Entity`, for `set` is all that writes it.
        unsafe { entity.as_ref() }
    }

    /// Whether that is this entity.
    #[inline]
    pub fn leads_to(&self, entity: &Entity) -> bool {
        core::ptr::eq(self.0.load(Ordering::Acquire), entity)
    }

    #[inline]
    pub fn set(&self, entity: Option<&'static Entity>) {
        let entity = entity.map_or(core::ptr::null(), core::ptr::from_ref);
        self.0.store(entity.cast_mut(), Ordering::Release);
    }
}
