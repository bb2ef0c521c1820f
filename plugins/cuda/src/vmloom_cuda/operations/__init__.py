"""Operations: from columns to launches. What columns they take is said and checked by `vmloom_native.columns`."""
