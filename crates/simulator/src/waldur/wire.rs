//! The words that Waldur puts on the wire for states, types and policies (Waldur contract §3.1, §4.3).
//!
//! Holds names only; which change is allowed when is decided where the change is made.

macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* #[doc = concat!("`", $text, "` on the wire.")] $variant),+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The spelling on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value with this spelling, which is compared exactly.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum! {
    /// State of an order.
    OrderState {
        PendingConsumer => "pending-consumer",
        PendingProvider => "pending-provider",
        PendingProject => "pending-project",
        PendingStartDate => "pending-start-date",
        Executing => "executing",
        Done => "done",
        Erred => "erred",
        Canceled => "canceled",
        Rejected => "rejected",
    }
}

impl OrderState {
    /// An order in such a state blocks every other order for its resource.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Done | Self::Erred | Self::Canceled | Self::Rejected)
    }
}

wire_enum! {
    /// What an order asks for.
    OrderType {
        Create => "Create",
        Update => "Update",
        Terminate => "Terminate",
        Restore => "Restore",
    }
}

wire_enum! {
    /// State of a resource.
    ResourceState {
        Creating => "Creating",
        Ok => "OK",
        Erred => "Erred",
        Updating => "Updating",
        Terminating => "Terminating",
        Terminated => "Terminated",
    }
}

wire_enum! {
    /// State of an offering.
    OfferingState {
        Draft => "Draft",
        Active => "Active",
        Paused => "Paused",
        Unavailable => "Unavailable",
        Archived => "Archived",
    }
}

wire_enum! {
    /// State of an offering user; the 2024 generation has none and shows none.
    OfferingUserState {
        Requested => "Requested",
        Creating => "Creating",
        PendingAccountLinking => "Pending account linking",
        PendingAdditionalValidation => "Pending additional validation",
        Ok => "OK",
        RequestedDeletion => "Requested deletion",
        Deleting => "Deleting",
        Deleted => "Deleted",
        ErrorCreating => "Error creating",
        ErrorDeleting => "Error deleting",
    }
}

wire_enum! {
    /// State of a service account or course account; `Pending` is used by course accounts only.
    AccountState {
        Pending => "Pending",
        Ok => "OK",
        Erred => "Erred",
        Closed => "Closed",
    }
}

wire_enum! {
    /// State of a request for importable resources.
    ImportRequestState {
        Sent => "Sent",
        Processing => "Processing",
        Done => "Done",
        Erred => "Erred",
    }
}

wire_enum! {
    /// State of the hidden SLURM allocation that the 2024 server keeps behind every resource.
    AllocationState {
        CreationScheduled => "Creation Scheduled",
        UpdateScheduled => "Update Scheduled",
        Ok => "OK",
        Erred => "Erred",
    }
}

impl AllocationState {
    /// The number by which the server names the state in its error texts.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::UpdateScheduled => 1,
            Self::Ok => 3,
            Self::Erred => 4,
            Self::CreationScheduled => 5,
        }
    }
}
